# The raw files of every training set and benchmark, in their official layout.


rule prepare_data:
    output:
        "<data>/{set}/manifest.json",
    log:
        "<logs>/prepare_data/{set}.log",
    benchmark:
        "<benchmarks>/prepare_data/{set}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=step_settings("prepare_data"),
    message:
        "Preparing the files of {wildcards.set}"
    shell:
        "dynfocus prepare-data --config {params.config} --dataset {wildcards.set} 2>&1 | tee {log}"


rule verify_data:
    input:
        "<data>/{set}/manifest.json",
    output:
        "<results>/coverage/{set}.json",
    log:
        "<logs>/verify_data/{set}.log",
    benchmark:
        "<benchmarks>/verify_data/{set}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=step_settings("prepare_data"),
    message:
        "Opening every video and image of {wildcards.set}"
    shell:
        "dynfocus verify-data --config {params.config} --dataset {wildcards.set} 2>&1 | tee {log}"
