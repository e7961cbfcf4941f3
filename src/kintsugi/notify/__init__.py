"""Telling people and programs what happened: webhooks, chat, paging and mail."""
