# What tables and figures need models, films or logs for, with the GPUs that it takes.


rule measure_item:
    input:
        inputs_of("measure_item"),
    output:
        "<results>/measurements/{item}.json",
    log:
        "<logs>/measure_item/{item}.log",
    benchmark:
        "<times>/measure_item/{item}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("measure_item")
    resources:
        gpu=gpus_of("measure_item"),
    params:
        config=RESOLVED,
        settings=settings_of("measure_item"),
    message:
        "Measuring for {wildcards.item}: {params.settings[measures]}"
    shell:
        "dynfocus measure-item --config {params.config:q} --item {wildcards.item} 2>&1 | tee {log:q}"
