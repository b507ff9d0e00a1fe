# What a finished run made, added to DVC and pushed. Asked for by name; it looks again when the report
# or the choice of what to publish has changed, and changes nothing where nothing is new.


rule publish:
    input:
        "<results>/report.html",
    log:
        "<logs>/publish.log",
    benchmark:
        "<times>/publish.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=0,
    params:
        config=RESOLVED,
        published=JOBS.config.published,
    message:
        "Publishing the artefacts of this run"
    shell:
        "dynfocus publish --config {params.config:q} 2>&1 | tee {log:q}"
