# Both training stages. Only the finished checkpoint is declared: rolling checkpoints live in
# work/, named by the hash of the settings, where neither a failure nor a kill removes them.


rule train_alignment:
    input:
        llm="<backbones>/llm/manifest.json",
        qformer="<backbones>/qformer/manifest.json",
        data=alignment_data,
        features=alignment_features,
    output:
        "<checkpoints>/alignment/{key}/manifest.json",
    log:
        "<logs>/train_alignment/{key}.log",
    benchmark:
        "<benchmarks>/train_alignment/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **SPREAD,
        gpu=TRAINING_GPUS,
    params:
        config=RESOLVED,
        settings=alignment_settings,
        runs=alignment_runs,
    message:
        "Stage 1, vision-language alignment for {params.runs}"
    shell:
        "dynfocus train-alignment --config {params.config} --key {wildcards.key} 2>&1 | tee {log}"


rule train_instruction:
    input:
        start=instruction_start,
        data=instruction_data,
        features=instruction_features,
    output:
        "<checkpoints>/instruction/{run}/seed-{seed}/manifest.json",
    log:
        "<logs>/train_instruction/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/train_instruction/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        **SPREAD,
        gpu=TRAINING_GPUS,
    params:
        config=RESOLVED,
        settings=instruction_settings,
    message:
        "Stage 2, instruction tuning of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus train-instruction --config {params.config} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log}"
