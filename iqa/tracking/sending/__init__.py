"""What goes to MLflow: deliveries in order, kept on disk while no server takes them, and what a refusal means."""
