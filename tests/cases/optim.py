"""Hyper-parameters of optimizers and schedulers."""

OPTIMIZERS = {
    "SGD": [
        {"lr": 0.1},
        {"lr": 0.1, "momentum": 0.9},
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
        {"lr": 0.1, "momentum": 0.5, "dampening": 0.3, "maximize": True},
        {"lr": 0.1, "weight_decay": 0.2, "maximize": True},
    ],
    "Adam": [
        {},
        {"lr": 0.03, "betas": (0.8, 0.95), "eps": 1e-3},
        {"lr": 0.03, "weight_decay": 0.1},
        {"lr": 0.03, "amsgrad": True, "maximize": True},
        {"lr": 0.03, "weight_decay": 0.1, "decoupled_weight_decay": True},
    ],
    "AdamW": [
        {},
        {"lr": 0.03, "weight_decay": 0.2, "amsgrad": True},
        {"lr": 0.03, "maximize": True},
    ],
    "RMSprop": [
        {},
        {"centered": True, "momentum": 0.9, "weight_decay": 0.1},
        {"alpha": 0.9, "eps": 1e-3, "maximize": True},
        {"momentum": 0.5},
    ],
    "Adagrad": [
        {},
        {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5},
        {"maximize": True, "eps": 1e-2},
    ],
    "Adadelta": [{}, {"lr": 0.5, "rho": 0.8, "weight_decay": 0.1, "maximize": True}],
    "Adafactor": [
        {},
        {"lr": 0.5, "weight_decay": 0.1, "maximize": True},
        {"beta2_decay": -0.3, "eps": (1e-2, 0.5), "d": 3.0},
    ],
    "Adamax": [{}, {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}],
    "NAdam": [
        {},
        {"lr": 0.1, "weight_decay": 0.1, "momentum_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "RAdam": [
        {},
        {"lr": 0.1, "betas": (0.9, 0.8), "weight_decay": 0.1},
        {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True},
    ],
    "ASGD": [{}, {"lr": 0.1, "lambd": 0.1, "alpha": 0.5, "t0": 3.0, "weight_decay": 0.1}],
    "Rprop": [{}, {"lr": 0.1, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.2), "maximize": True}],
}

# For matrices only.
MUON = [
    {},
    {"lr": 0.02, "momentum": 0.5, "nesterov": False, "weight_decay": 0.0},
    {
        "lr": 0.02,
        "adjust_lr_fn": "match_rms_adamw",
        "ns_steps": 3,
        "ns_coefficients": (2.0, -1.5, 0.5),
    },
    {"lr": 0.1, "adjust_lr_fn": "original", "eps": 0.1},
]

# Per scheduler: parameters of a few instances, to be followed for 30 steps.
SCHEDULERS = {
    "StepLR": [{"step_size": 7, "gamma": 0.5}],
    "MultiStepLR": [{"milestones": [3, 11, 20], "gamma": 0.3}],
    "ConstantLR": [{}, {"factor": 0.7, "total_iters": 9}],
    "LinearLR": [{}, {"start_factor": 0.2, "end_factor": 0.6, "total_iters": 13}],
    "ExponentialLR": [{"gamma": 0.9}],
    "PolynomialLR": [{"total_iters": 11, "power": 2.0}, {}],
    "CosineAnnealingLR": [{"T_max": 40}, {"T_max": 30, "eta_min": 0.01}],
    "CosineAnnealingWarmRestarts": [{"T_0": 7}, {"T_0": 4, "T_mult": 2, "eta_min": 0.01}],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 5},
        {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 3, "step_size_down": 4,
         "mode": "triangular2"},
        {"base_lr": 0.01, "max_lr": 0.2, "step_size_up": 5, "mode": "exp_range", "gamma": 0.95},
    ],
    "OneCycleLR": [
        {"max_lr": 0.3, "total_steps": 31},
        {"max_lr": 0.3, "total_steps": 31, "anneal_strategy": "linear", "pct_start": 0.4,
         "div_factor": 10.0, "final_div_factor": 100.0},
        {"max_lr": 0.3, "total_steps": 31, "three_phase": True},
    ],
}  # fmt: skip
PLATEAU = [
    {"patience": 1},
    {"patience": 2, "cooldown": 2, "factor": 0.5},
    {"mode": "max", "patience": 1, "threshold_mode": "abs", "threshold": 0.2},
    {"patience": 0, "min_lr": 0.02, "factor": 0.5},
]
