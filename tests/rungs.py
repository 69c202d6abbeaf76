"""A fidelity scheme with two rungs: every fourth short training, the best one is trained in full."""

from archsearch.archive.orders import Length
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.fidelity import Promotion


class Halving(FullLength):
    def rungs(self, full):
        if full.epochs < 4:
            return (full,)
        return (Length(full.images // 4, full.epochs // 4), full)

    def promote(self, known, outlook):
        short = [t for t in known.trials if _ended(t.trainings[0])]
        promoted = sum(len(t.trainings) > 1 for t in known.trials)
        waiting = [
            t
            for t in short
            if len(t.trainings) == 1 and t.trainings[0].outcome.status == "complete"
        ]
        if len(short) // 4 <= promoted or not waiting:
            return None
        best = max(waiting, key=lambda t: (t.trainings[0].outcome.val_accuracy, -t.number))
        return Promotion(best.number, 1)

    def promotions(self, trials, full):
        return trials // 4 if full.epochs >= 4 else 0


def _ended(training):
    return training.outcome is not None
