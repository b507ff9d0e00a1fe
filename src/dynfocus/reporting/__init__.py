"""Tables, figures and the report: the paper's numbers beside ours."""
