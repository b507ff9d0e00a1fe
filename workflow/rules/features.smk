# What the frozen visual encoder sees in every sampled frame.


rule extract_features:
    input:
        inputs_of("extract_features"),
    output:
        "<features>/{set}/shard-{shard}-of-{shards}.safetensors.manifest.json",
    log:
        "<logs>/extract_features/{set}/shard-{shard}-of-{shards}.log",
    benchmark:
        "<times>/extract_features/{set}/shard-{shard}-of-{shards}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("extract_features")
    resources:
        gpu=gpus_of("extract_features"),
    params:
        config=RESOLVED,
        settings=settings_of("extract_features"),
    message:
        "Extracting the features of {wildcards.set}, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "dynfocus extract-features --config {params.config:q} --dataset {wildcards.set}"
        " --shard {wildcards.shard} --num-shards {wildcards.shards} 2>&1 | tee {log:q}"
