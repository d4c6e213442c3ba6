"""Stories over HTTP through all real parts; the sandbox is the gateway."""
