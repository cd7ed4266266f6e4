"""Small language-model experiments on one's own machine: prepare, train, sample."""
