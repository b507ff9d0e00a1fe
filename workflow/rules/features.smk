# What the frozen visual encoder sees in every sampled frame.


rule extract_features:
    input:
        data="<data>/{set}/manifest.json",
        coverage="<results>/coverage/{set}.json",
        clip="<backbones>/clip/manifest.json",
    output:
        "<features>/{set}/shard-{shard}-of-{shards}.safetensors.manifest.json",
    log:
        "<logs>/extract_features/{set}/shard-{shard}-of-{shards}.log",
    benchmark:
        "<benchmarks>/extract_features/{set}/shard-{shard}-of-{shards}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=ON_GPU,
    params:
        config=RESOLVED,
        settings=step_settings("extract_features"),
    message:
        "Extracting the features of {wildcards.set}, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "dynfocus extract-features --config {params.config} --dataset {wildcards.set}"
        " --shard {wildcards.shard} --num-shards {wildcards.shards} 2>&1 | tee {log}"
