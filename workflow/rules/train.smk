# Both training stages. Only the finished checkpoint is declared: rolling checkpoints live in
# work/, named by the hash of the settings, where neither a failure nor a kill removes them.


rule train_alignment:
    input:
        inputs_of("train_alignment"),
    output:
        "<checkpoints>/alignment/{key}/manifest.json",
    log:
        "<logs>/train_alignment/{key}.log",
    benchmark:
        "<times>/train_alignment/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("train_alignment")
    resources:
        **SPREAD,
        gpu=gpus_of("train_alignment"),
    params:
        config=RESOLVED,
        settings=settings_of("train_alignment"),
        runs=alignment_runs,
    message:
        "Stage 1, vision-language alignment for {params.runs}"
    shell:
        "dynfocus train-alignment --config {params.config:q} --key {wildcards.key} 2>&1 | tee {log:q}"


rule train_instruction:
    input:
        inputs_of("train_instruction"),
    output:
        "<checkpoints>/instruction/{run}/seed-{seed}/manifest.json",
    log:
        "<logs>/train_instruction/{run}/seed-{seed}.log",
    benchmark:
        "<times>/train_instruction/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("train_instruction")
    resources:
        **SPREAD,
        gpu=gpus_of("train_instruction"),
    params:
        config=RESOLVED,
        settings=settings_of("train_instruction"),
    message:
        "Stage 2, instruction tuning of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus train-instruction --config {params.config:q} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log:q}"
