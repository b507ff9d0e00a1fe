# Published data, backbones and stage-1 checkpoints in place of making them.


ruleorder: pull_data > prepare_data
ruleorder: pull_backbone > prepare_clip
ruleorder: pull_backbone > prepare_llm
ruleorder: pull_backbone > prepare_qformer
ruleorder: pull_alignment > train_alignment


rule pull_data:
    output:
        "<data>/{set}/manifest.json",
    log:
        "<logs>/pull_data/{set}.log",
    benchmark:
        "<benchmarks>/pull_data/{set}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling the files of {wildcards.set}"
    shell:
        "dynfocus pull-artefact --config {params.config} --artefact data/{wildcards.set} 2>&1 | tee {log}"


rule pull_backbone:
    output:
        "<backbones>/{backbone}/manifest.json",
    log:
        "<logs>/pull_backbone/{backbone}.log",
    benchmark:
        "<benchmarks>/pull_backbone/{backbone}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling the backbone {wildcards.backbone}"
    shell:
        "dynfocus pull-artefact --config {params.config} --artefact backbones/{wildcards.backbone} 2>&1 | tee {log}"


rule pull_alignment:
    output:
        "<checkpoints>/alignment/{key}/manifest.json",
    log:
        "<logs>/pull_alignment/{key}.log",
    benchmark:
        "<benchmarks>/pull_alignment/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling the stage-1 checkpoint {wildcards.key}"
    shell:
        "dynfocus pull-artefact --config {params.config} --artefact checkpoints/alignment/{wildcards.key} 2>&1 | tee {log}"
