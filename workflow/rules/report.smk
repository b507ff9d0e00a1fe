# Tables and figures by notebooks, the page that holds them all, and the claims.


rule execute_notebook:
    input:
        inputs_of("execute_notebook"),
    output:
        "<results>/notebooks/{item}.ipynb",
        report("<results>/notebooks/{item}.html", category="Tables and figures", labels={"item": "{item}"}),
    log:
        "<logs>/execute_notebook/{item}.log",
    benchmark:
        "<times>/execute_notebook/{item}.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("execute_notebook")
    resources:
        gpu=gpus_of("execute_notebook"),
    params:
        config=RESOLVED,
        settings=settings_of("execute_notebook"),
    message:
        "Executing the notebook of {wildcards.item}: {params.settings[title]}"
    shell:
        "dynfocus execute-notebook --config {params.config:q} --item {wildcards.item} 2>&1 | tee {log:q}"


rule execute_tutorial:
    input:
        inputs_of("execute_tutorial"),
    output:
        "<results>/tutorial.ipynb",
        "<results>/tutorial.html",
    log:
        "<logs>/execute_tutorial.log",
    benchmark:
        "<times>/execute_tutorial.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("execute_tutorial")
    resources:
        gpu=gpus_of("execute_tutorial"),
    params:
        config=RESOLVED,
        settings=settings_of("execute_tutorial"),
    message:
        "Executing the tutorial on seed {params.settings[seed]} of the {params.settings[profile]} profile"
    shell:
        "dynfocus execute-tutorial --config {params.config:q} 2>&1 | tee {log:q}"


rule render_report:
    input:
        inputs_of("render_report"),
    output:
        report("<results>/report.html", category="Report"),
    log:
        "<logs>/render_report.log",
    benchmark:
        "<times>/render_report.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("render_report")
    resources:
        gpu=gpus_of("render_report"),
    params:
        config=RESOLVED,
        settings=settings_of("render_report"),
    message:
        "Rendering {output}"
    shell:
        "dynfocus render-report --config {params.config:q} 2>&1 | tee {log:q}"


rule test_claims:
    input:
        inputs_of("test_claims"),
    output:
        outcomes="<results>/claims.json",
        evidence=directory("<results>/claims"),
    log:
        "<logs>/test_claims.log",
    benchmark:
        "<times>/test_claims.tsv"
    conda:
        "../../environment.yml"
    threads: threads_of("test_claims")
    resources:
        gpu=gpus_of("test_claims"),
    params:
        config=RESOLVED,
        settings=settings_of("test_claims"),
    message:
        "Testing the paper's direction claims over the seeds {params.settings[seeds]}"
    shell:
        "dynfocus test-claims --config {params.config:q} 2>&1 | tee {log:q}"
