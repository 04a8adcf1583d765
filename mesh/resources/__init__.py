"""What proxies are told, as pure functions from the catalog and the topology to Envoy's messages."""
