"""The program around a network: raw pixels in, logits out, and the settings that make it again."""
