# The three pretrained parts, trained here at mini scale, fetched at paper scale; and models to compare with.


rule prepare_clip:
    input:
        inputs_of("prepare_clip"),
    output:
        "<backbones>/clip/manifest.json",
    log:
        "<logs>/prepare_clip.log",
    benchmark:
        "<times>/prepare_clip.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("prepare_clip")
    resources:
        gpu=gpus_of("prepare_clip"),
    params:
        config=RESOLVED,
        settings=settings_of("prepare_clip"),
    message:
        "Preparing the visual encoder (CLIP)"
    shell:
        "dynfocus prepare-clip --config {params.config:q} 2>&1 | tee {log:q}"


rule prepare_llm:
    input:
        inputs_of("prepare_llm"),
    output:
        "<backbones>/llm/manifest.json",
    log:
        "<logs>/prepare_llm.log",
    benchmark:
        "<times>/prepare_llm.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("prepare_llm")
    resources:
        gpu=gpus_of("prepare_llm"),
    params:
        config=RESOLVED,
        settings=settings_of("prepare_llm"),
    message:
        "Preparing the language model"
    shell:
        "dynfocus prepare-llm --config {params.config:q} 2>&1 | tee {log:q}"


rule prepare_qformer:
    input:
        inputs_of("prepare_qformer"),
    output:
        "<backbones>/qformer/manifest.json",
    log:
        "<logs>/prepare_qformer.log",
    benchmark:
        "<times>/prepare_qformer.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("prepare_qformer")
    resources:
        gpu=gpus_of("prepare_qformer"),
    params:
        config=RESOLVED,
        settings=settings_of("prepare_qformer"),
    message:
        "Preparing the text encoder (Q-Former)"
    shell:
        "dynfocus prepare-qformer --config {params.config:q} 2>&1 | tee {log:q}"


rule prepare_model:
    input:
        inputs_of("prepare_model"),
    output:
        "<checkpoints>/models/{run}/manifest.json",
    log:
        "<logs>/prepare_model/{run}.log",
    benchmark:
        "<times>/prepare_model/{run}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("prepare_model")
    resources:
        gpu=gpus_of("prepare_model"),
    params:
        config=RESOLVED,
        settings=settings_of("prepare_model"),
    message:
        "Fetching the model of {wildcards.run}, which is not ours"
    shell:
        "dynfocus prepare-model --config {params.config:q} --run {wildcards.run} 2>&1 | tee {log:q}"
