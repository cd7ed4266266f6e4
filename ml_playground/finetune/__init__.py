"""Fine-tuned models in the formats of others: adapters for PEFT, merged models for everyone."""
