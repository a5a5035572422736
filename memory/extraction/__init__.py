"""What a stage leaves behind, read by rules: claims, each with the place that bears it out."""
