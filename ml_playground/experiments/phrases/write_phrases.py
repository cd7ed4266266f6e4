"""Writes `phrases.txt`: every sentence that the patterns below allow.

The patterns and their words were written by hand for this experiment. Run it after changing them:
`.venv/bin/python ml_playground/experiments/phrases/write_phrases.py`.
"""

import hashlib
import itertools
from pathlib import Path

# A pattern's slots are filled with every combination of words from its lists, so the lists of one pattern fit together.
PATTERNS: list[tuple[str, list[list[str]]]] = [
    (
        "the {} {} sleeps {}",
        [
            ["old", "grey", "small", "lazy", "shy", "tired", "spotted"],
            ["cat", "fox", "dog", "owl", "hedgehog", "bear", "badger", "goat"],
            [
                "under the bridge",
                "behind the barn",
                "by the fire",
                "in the tall grass",
                "on a warm stone",
                "all day long",
            ],
        ],
    ),
    (
        "a {} {} over the {}",
        [
            ["heron", "crow", "kite", "swallow", "gull", "dragonfly", "paper plane", "balloon"],
            ["glides", "circles", "drifts", "hangs", "rises"],
            ["lake", "village", "harbour", "rooftops", "old mill", "wheat field", "railway line"],
        ],
    ),
    (
        "it {} in {} until {}",
        [
            ["rains", "snows", "drizzles", "thunders"],
            ["the valley", "the hills", "the north", "the old town", "our street", "the woods"],
            ["dawn", "noon", "dusk", "midnight", "the bells ring", "the wind turns"],
        ],
    ),
    (
        "{} the {} and {}",
        [
            ["wash", "peel", "slice", "weigh", "chop"],
            ["carrots", "apples", "onions", "potatoes", "pears", "beetroots", "mushrooms"],
            ["add a pinch of salt", "stir well", "set the table", "keep the rest", "heat the oven", "warm the soup"],
        ],
    ),
    (
        "my {} {} every {}",
        [
            ["aunt", "uncle", "neighbour", "teacher", "sister", "brother", "grandmother"],
            [
                "bakes bread",
                "waters the roses",
                "mends a clock",
                "writes a letter",
                "plays the cello",
                "walks to the sea",
            ],
            ["monday", "friday", "sunday", "morning", "evening", "spring"],
        ],
    ),
    (
        "the {} train leaves from platform {} at {}",
        [
            ["first", "last", "slow", "night", "express"],
            ["one", "two", "three", "four", "seven", "nine"],
            ["six", "half past six", "seven", "noon", "a quarter to ten", "midnight"],
        ],
    ),
    (
        "where did you put the {} {}?",
        [
            ["blue", "heavy", "wooden", "broken", "new", "borrowed"],
            ["ladder", "kettle", "umbrella", "suitcase", "hammer", "lamp", "violin", "basket"],
        ],
    ),
    (
        "{} {} can {} a {}",
        [
            ["a patient", "a clever", "a quiet", "even a young", "only a brave"],
            ["sailor", "gardener", "carpenter", "baker", "tailor", "fisher", "painter"],
            ["mend", "draw", "sell", "carry", "steer"],
            ["boat", "raft", "sledge", "wagon"],
        ],
    ),
    (
        "{} stars shine above the {}",
        [
            ["bright", "pale", "a thousand", "the same", "no", "seven", "cold"],
            ["desert", "frozen lake", "lighthouse", "sleeping city", "empty road", "orchard", "quiet sea", "mountains"],
        ],
    ),
    (
        "if you {}, you will {}",
        [
            ["plant a seed", "ask kindly", "listen closely", "wait a while", "take the left path", "follow the river"],
            [
                "find a friend",
                "hear an answer",
                "see the tower",
                "reach the village",
                "learn something",
                "come home safe",
            ],
        ],
    ),
    (
        "she {} a {} for her {}",
        [
            ["bought", "found", "kept", "chose", "wrapped"],
            ["scarf", "cup", "picture", "hat", "pocket watch", "silver bell", "book"],
            ["friend", "mother", "cousin", "daughter", "old teacher"],
        ],
    ),
    (
        "he {} the {} {}",
        [
            ["opened", "closed", "painted", "repaired", "cleaned"],
            ["gate", "window", "shop", "cupboard", "letter box", "cellar door"],
            ["without a sound", "before breakfast", "in a hurry", "with great care", "for the last time", "by mistake"],
        ],
    ),
    (
        "{} is the best time to {}",
        [
            ["early morning", "late summer", "a rainy day", "winter", "the first week of may", "sunday"],
            ["pick cherries", "read a long book", "sharpen the saw", "visit the museum", "count the sheep", "make jam"],
        ],
    ),
    (
        "no {} ever {} a {} alone",
        [
            ["wolf", "king", "river", "cook", "pilot", "child"],
            ["crossed", "built", "wanted", "won", "feared"],
            ["bridge", "castle", "feast", "winter", "song"],
        ],
    ),
    (
        "{} little {} {} in the {}",
        [
            ["two", "three", "five", "ten", "many"],
            ["frogs", "mice", "ducks", "lambs", "crickets", "sparrows"],
            ["sing", "hide", "dance", "play", "wait"],
            ["pond", "meadow", "hayloft", "garden"],
        ],
    ),
    (
        "turn {} at the {} and {}",
        [
            ["left", "right"],
            ["church", "old well", "market", "bakery", "second bridge", "school", "red house"],
            ["walk up the hill", "cross the square", "follow the wall", "ask again", "look for a green door"],
        ],
    ),
    (
        "{} has lost {} {}",
        [
            ["the postman", "the captain", "our cat", "the clown", "my friend", "the old judge"],
            ["a", "another", "one more", "the last"],
            ["button", "glove", "key", "shoe", "coin", "ticket"],
        ],
    ),
    (
        "the {} was {} than the {}",
        [
            ["soup", "river", "road", "night", "story", "song"],
            ["longer", "colder", "stranger", "better", "darker"],
            ["last one", "first one", "map", "winter before", "one we knew"],
        ],
    ),
    (
        "{}, said the {} to the {}",
        [
            ["good night", "not today", "come closer", "wait for me", "be careful"],
            ["moon", "spider", "miller", "giant", "snail", "queen"],
            ["stars", "fly", "thief", "mouse", "turtle", "frog"],
        ],
    ),
]


def phrases() -> list[str]:
    """Every sentence that the patterns allow, in the order of their hashes: mixed, and always the same."""
    made = {pattern.format(*words) for pattern, slots in PATTERNS for words in itertools.product(*slots)}
    return sorted(made, key=lambda phrase: hashlib.sha256(phrase.encode()).digest())


if __name__ == "__main__":
    lines = "".join(f"{phrase}\n" for phrase in phrases())
    Path(__file__).with_name("phrases.txt").write_text(lines, encoding="utf-8")
