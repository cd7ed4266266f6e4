"""An experiment that uses every part of this package."""
