# Published results in place of the jobs that would make them, all in one call; included where `start_from` takes some.


ruleorder: pull > prepare_data > prepare_clip > prepare_llm > prepare_qformer
ruleorder: pull > train_alignment > train_instruction
ruleorder: pull > answer_questions > judge_answers > judge_again > score_answers > measure_item


rule pull:
    output:
        PULLED,
    log:
        "<logs>/pull.log",
    benchmark:
        "<times>/pull.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
    message:
        "Pulling what is published"
    shell:
        "dynfocus pull --config {params.config:q} 2>&1 | tee {log:q}"
