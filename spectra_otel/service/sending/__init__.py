"""How an exporter's requests leave the collector: a queue on disk, consumers, retries; named as exporterhelper names them."""
