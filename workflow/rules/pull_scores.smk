# Published scores in place of judging and scoring.


ruleorder: pull_scores > score_answers


rule pull_scores:
    output:
        "<results>/scores/{run}/seed-{seed}.json",
        "<results>/scores/{run}/seed-{seed}.samples.jsonl",
    log:
        "<logs>/pull_scores/{run}/seed-{seed}.log",
    benchmark:
        "<benchmarks>/pull_scores/{run}/seed-{seed}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling the scores of {wildcards.run}, seed {wildcards.seed}"
    shell:
        "dynfocus pull-artefact --config {params.config} --artefact results/scores/{wildcards.run}/seed-{wildcards.seed}.json 2>&1 | tee {log}"
