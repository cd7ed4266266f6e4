from lit_nlp.api.components import Interpreter
from lit_nlp.components.pca import PCAModel

class ProjectionManager(Interpreter):
    def __init__(self, model_class: type[PCAModel]) -> None: ...
