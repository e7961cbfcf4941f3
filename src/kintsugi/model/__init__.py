"""The nouns of Kintsugi as plain frozen values. Imports nothing else of ours."""
