"""Several studies that answer one question: which space errs less, what a design rule is worth."""
