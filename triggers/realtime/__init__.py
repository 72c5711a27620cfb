"""Streams of runs for front ends, over SSE and WebSocket, and the tokens that permit them."""
