"""Talk about a video with a trained model: in the terminal, and on a web page that shows what the model looked at."""
