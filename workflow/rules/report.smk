# Tables and figures by notebooks, and the page that holds them all.


rule execute_notebook:
    input:
        notebook=item_notebook,
        made=item_inputs,
    output:
        notebook="<results>/notebooks/{item}.ipynb",
        page="<results>/notebooks/{item}.html",
    log:
        "<logs>/execute_notebook/{item}.log",
    benchmark:
        "<benchmarks>/execute_notebook/{item}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=item_settings,
    message:
        "Executing the notebook of {wildcards.item}: {params.settings[title]}"
    shell:
        "dynfocus execute-notebook --config {params.config} --item {wildcards.item} 2>&1 | tee {log}"


rule render_report:
    input:
        pages=expand("<results>/notebooks/{item}.html", item=JOBS.items),
    output:
        "<results>/report.html",
    log:
        "<logs>/render_report.log",
    benchmark:
        "<benchmarks>/render_report.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        shown=list(JOBS.items),
    message:
        "Rendering {output}"
    shell:
        "dynfocus render-report --config {params.config} 2>&1 | tee {log}"


rule test_claims:
    input:
        claim_scores,
    output:
        outcomes="<results>/claims.json",
        evidence=directory("<results>/claims"),
    log:
        "<logs>/test_claims.log",
    benchmark:
        "<benchmarks>/test_claims.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        settings=claim_parameters,
    message:
        "Testing the paper's direction claims over the seeds {params.settings[seeds]}"
    shell:
        "dynfocus test-claims --config {params.config} 2>&1 | tee {log}"
