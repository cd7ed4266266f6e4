"""Other programs' formats, both ways: Hugging Face, nanoGPT, llama.cpp, Ollama."""
