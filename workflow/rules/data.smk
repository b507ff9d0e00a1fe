# The raw files of every training set and benchmark, in their official layout.


rule prepare_data:
    input:
        inputs_of("prepare_data"),
    output:
        "<data>/{set}/manifest.json",
    log:
        "<logs>/prepare_data/{set}.log",
    benchmark:
        "<times>/prepare_data/{set}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("prepare_data")
    resources:
        gpu=gpus_of("prepare_data"),
    params:
        config=RESOLVED,
        settings=settings_of("prepare_data"),
    message:
        "Preparing the files of {wildcards.set}"
    shell:
        "dynfocus prepare-data --config {params.config:q} --dataset {wildcards.set} 2>&1 | tee {log:q}"


rule verify_data:
    input:
        inputs_of("verify_data"),
    output:
        "<results>/coverage/{set}.json",
    log:
        "<logs>/verify_data/{set}.log",
    benchmark:
        "<times>/verify_data/{set}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("verify_data")
    resources:
        gpu=gpus_of("verify_data"),
    params:
        config=RESOLVED,
        settings=settings_of("verify_data"),
    message:
        "Opening every video and image of {wildcards.set}"
    shell:
        "dynfocus verify-data --config {params.config:q} --dataset {wildcards.set} 2>&1 | tee {log:q}"
