"""Reading and writing other programs' formats: Hugging Face, nanoGPT, llama.cpp, Ollama."""
