"""The rules that a memory channel never breaks, as properties that a model checker can prove."""
