# Published stage-2 checkpoints in place of training them.


ruleorder: pull_checkpoint > train_instruction


rule pull_checkpoint:
    output:
        "<checkpoints>/instruction/{run}/seed-{seed}/manifest.json",
    log:
        "<logs>/pull_checkpoint/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/pull_checkpoint/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling the checkpoint of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus pull-artefact --config {params.config} --artefact checkpoints/instruction/{wildcards.run}/seed-{wildcards.seed} 2>&1 | tee {log}"
