"""Fine-tuning of Hugging Face models, whole or through PEFT's adapters, and merging of these."""
