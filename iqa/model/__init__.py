"""The model: backbone features, a Gaussian mixture over their projection, a head that scores from both."""
