"""Models of the field, each with a recipe for ``fastnn train``."""

from .lenet import LeNet5
from .mlp import MLP
from .perceptron import Perceptron, perceptron_loss
from .rbf import RBFNetwork, kmeans

__all__ = ["MLP", "LeNet5", "Perceptron", "RBFNetwork", "kmeans", "perceptron_loss"]
