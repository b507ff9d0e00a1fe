"""Training: prompt templates and masks, batches, and the two stages with Hugging Face Trainer and DeepSpeed."""
