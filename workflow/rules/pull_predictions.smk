# Published answers, and the replies of the judge, in place of answering.


ruleorder: pull_answers > answer_questions


rule pull_answers:
    output:
        "<results>/answers/{run}/seed-{seed}/shard-{shard}-of-{shards}.jsonl.manifest.json",
    log:
        "<logs>/pull_answers/{run}/seed-{seed}/shard-{shard}-of-{shards}.log",
    benchmark:
        "<benchmarks>/pull_answers/{run}/seed-{seed}/shard-{shard}-of-{shards}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling the answers of {wildcards.run}, seed {wildcards.seed}, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "dynfocus pull-artefact --config {params.config} --artefact results/answers/{wildcards.run}/seed-{wildcards.seed}/shard-{wildcards.shard}-of-{wildcards.shards}.jsonl 2>&1 | tee {log}"
