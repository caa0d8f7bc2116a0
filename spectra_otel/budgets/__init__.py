"""Budgets that hold inside the app: reserve before a call, settle after it."""
