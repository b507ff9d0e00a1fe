# The three pretrained parts, trained here at mini scale, fetched at paper scale; and models to compare with.


rule prepare_clip:
    input:
        backbone_inputs("clip"),
    output:
        "<backbones>/clip/manifest.json",
    log:
        "<logs>/prepare_clip.log",
    benchmark:
        "<benchmarks>/prepare_clip.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=ON_GPU,
    params:
        config=RESOLVED,
        settings=step_settings("prepare_clip"),
    message:
        "Preparing the visual encoder (CLIP)"
    shell:
        "dynfocus prepare-clip --config {params.config} 2>&1 | tee {log}"


rule prepare_llm:
    input:
        backbone_inputs("llm"),
    output:
        "<backbones>/llm/manifest.json",
    log:
        "<logs>/prepare_llm.log",
    benchmark:
        "<benchmarks>/prepare_llm.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=ON_GPU,
    params:
        config=RESOLVED,
        settings=step_settings("prepare_llm"),
    message:
        "Preparing the language model"
    shell:
        "dynfocus prepare-llm --config {params.config} 2>&1 | tee {log}"


rule prepare_qformer:
    input:
        backbone_inputs("qformer"),
        clip="<backbones>/clip/manifest.json",
    output:
        "<backbones>/qformer/manifest.json",
    log:
        "<logs>/prepare_qformer.log",
    benchmark:
        "<benchmarks>/prepare_qformer.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=ON_GPU,
    params:
        config=RESOLVED,
        settings=step_settings("prepare_qformer"),
    message:
        "Preparing the text encoder (Q-Former)"
    shell:
        "dynfocus prepare-qformer --config {params.config} 2>&1 | tee {log}"


rule prepare_model:
    input:
        model_inputs,
    output:
        "<checkpoints>/models/{run}/manifest.json",
    log:
        "<logs>/prepare_model/{run}.log",
    benchmark:
        "<benchmarks>/prepare_model/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=model_settings,
    message:
        "Fetching the model of {wildcards.run}, which is not ours"
    shell:
        "dynfocus prepare-model --config {params.config} --run {wildcards.run} 2>&1 | tee {log}"
