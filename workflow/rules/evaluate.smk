# Answer, judge, score: each restartable on its own.


rule answer_questions:
    input:
        model=answering_model,
        data=benchmark_data,
        features=benchmark_features,
    output:
        "<results>/answers/{run}/seed-{seed}/shard-{shard}-of-{shards}.jsonl.manifest.json",
    log:
        "<logs>/answer_questions/{run}/seed-{seed}/shard-{shard}-of-{shards}.log",
    benchmark:
        "<benchmarks>/answer_questions/{run}/seed-{seed}/shard-{shard}-of-{shards}.tsv"
    conda:
        "../../environment.yml"
    threads: THREADS
    resources:
        gpu=ON_GPU,
    params:
        config=RESOLVED,
        settings=answer_settings,
        benchmarks=run_benchmarks,
    message:
        "Answering {params.benchmarks} with {wildcards.run}, seed {wildcards.seed}, shard {wildcards.shard} of {wildcards.shards}"
    shell:
        "dynfocus answer-questions --config {params.config} --run {wildcards.run} --seed {wildcards.seed}"
        " --shard {wildcards.shard} --num-shards {wildcards.shards} 2>&1 | tee {log}"


rule judge_answers:
    input:
        answers=answers_of,
        data=benchmark_data,
    output:
        "<results>/verdicts/{run}/seed-{seed}.jsonl",
    log:
        "<logs>/judge_answers/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/judge_answers/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=judge_settings,
    message:
        "Judging the answers of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus judge-answers --config {params.config} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log}"


rule score_answers:
    input:
        answers=answers_of,
        verdicts="<results>/verdicts/{run}/seed-{seed}.jsonl",
        data=benchmark_data,
    output:
        scores="<results>/scores/{run}/seed-{seed}.json",
        samples="<results>/scores/{run}/seed-{seed}.samples.jsonl",
    log:
        "<logs>/score_answers/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/score_answers/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=score_settings,
        benchmarks=run_benchmarks,
    message:
        "Scoring {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus score-answers --config {params.config} --run {wildcards.run} --seed {wildcards.seed} 2>&1 | tee {log}"
