# Answer, judge, score: each restartable on its own.


rule answer_questions:
    input:
        inputs_of("answer_questions"),
    output:
        "<results>/answers/{run}/seed-{seed}/shard-{shard}-of-{shards}.jsonl.manifest.json",
    log:
        "<logs>/answer_questions/{run}/seed-{seed}/shard-{shard}-of-{shards}.log",
    benchmark:
        "<times>/answer_questions/{run}/seed-{seed}/shard-{shard}-of-{shards}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("answer_questions")
    resources:
        gpu=gpus_of("answer_questions"),
    params:
        config=RESOLVED,
        settings=settings_of("answer_questions"),
    message:
        "Answering {params.settings[benchmarks]} with {wildcards.run}, seed {wildcards.seed}, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "dynfocus answer-questions --config {params.config:q} --run {wildcards.run} --seed {wildcards.seed}"
        " --shard {wildcards.shard} --num-shards {wildcards.shards} 2>&1 | tee {log:q}"


rule judge_answers:
    input:
        inputs_of("judge_answers"),
    output:
        "<results>/verdicts/{run}/seed-{seed}.jsonl",
    log:
        "<logs>/judge_answers/{run}/seed-{seed}.log",
    benchmark:
        "<times>/judge_answers/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("judge_answers")
    resources:
        gpu=gpus_of("judge_answers"),
    params:
        config=RESOLVED,
        settings=settings_of("judge_answers"),
    message:
        "Judging the answers of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus judge-answers --config {params.config:q} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log:q}"


rule judge_again:
    input:
        inputs_of("judge_again"),
    output:
        "<results>/second_verdicts/{run}/seed-{seed}.jsonl",
    log:
        "<logs>/judge_again/{run}/seed-{seed}.log",
    benchmark:
        "<times>/judge_again/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("judge_again")
    resources:
        gpu=gpus_of("judge_again"),
    params:
        config=RESOLVED,
        settings=settings_of("judge_again"),
    message:
        "Judging the answers of {wildcards.run}, seed {wildcards.seed}, with the second judge"
    shell:
        "dynfocus judge-again --config {params.config:q} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log:q}"


rule score_answers:
    input:
        inputs_of("score_answers"),
    output:
        "<results>/scores/{run}/seed-{seed}.json",
        "<results>/scores/{run}/seed-{seed}.samples.jsonl",
    log:
        "<logs>/score_answers/{run}/seed-{seed}.log",
    benchmark:
        "<times>/score_answers/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("score_answers")
    resources:
        gpu=gpus_of("score_answers"),
    params:
        config=RESOLVED,
        settings=settings_of("score_answers"),
    message:
        "Scoring {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus score-answers --config {params.config:q} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log:q}"
