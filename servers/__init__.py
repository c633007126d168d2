"""Models behind an address: a server that any client of OpenAI's chat completions can talk to."""
