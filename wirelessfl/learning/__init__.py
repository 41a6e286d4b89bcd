"""What is learnt: task, partition, LoRA adapter, sketches, local training and evaluation.

Flat float32 vectors cross this room's border; torch, transformers and PEFT stay inside.
"""
