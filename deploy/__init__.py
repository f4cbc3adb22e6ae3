"""What happens on the device before it runs: engines are built there."""
