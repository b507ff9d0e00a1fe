"""What a step of the workflow is: its output, inputs, settings and resources, and the manifest of what it made."""
