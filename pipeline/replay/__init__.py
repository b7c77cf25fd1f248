"""The main job: real history through the whole pipeline, watched, verified and reported."""
