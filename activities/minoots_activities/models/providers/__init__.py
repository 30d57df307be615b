"""Providers of language models: one module a wire, each with the errors of that wire made ours."""
