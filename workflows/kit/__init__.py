"""What every workflow shares: policies, search attributes, codec, client factory."""
