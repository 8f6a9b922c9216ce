"""The reproduction engine: tables as data, a plan, a ledger of records, verdicts and rendered tables."""
