"""What is found out from run directories, once training is done."""
